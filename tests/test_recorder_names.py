"""What recorders' file names tell: names and their known answers."""

from datetime import datetime
from pathlib import Path

import pytest

from tfhier.recorder_names import RecorderName, parse

SECOND = datetime(2023, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("name", "site", "date_time"),
    [
        ("SITE_20230102_030405.wav", "SITE", SECOND),
        ("S4A12345_20230102_030405.wav", "S4A12345", SECOND),
        ("PLOT_A-7_20230102_030405.flac", "PLOT_A-7", SECOND),
        ("SITE_20230102_030405_000.wav", "SITE", SECOND),
        (
            "SITE_20230102_030405_678.wav",
            "SITE",
            datetime(2023, 1, 2, 3, 4, 5, 678_000),
        ),
        (
            "MIC_20230102_030405_000017.wav",
            "MIC",
            datetime(2023, 1, 2, 3, 4, 5, 17),
        ),
        ("SITE_0+1_20230102_030405.wav", "SITE", SECOND),
        # A plot's number is not a channel.
        ("PLOT_1_20230102_030405.wav", "PLOT_1", SECOND),
        (
            "ARIZONA-1_20161023$195550.wac",
            "ARIZONA-1",
            datetime(2016, 10, 23, 19, 55, 50),
        ),
        ("20230102_030405.WAV", "", SECOND),
        ("20230102_030405T.WAV", "", SECOND),
        ("_20230102_030405.wav", "", SECOND),
        # 5B2F1C40 is 1 529 814 080 in decimals.
        ("5B2F1C40.WAV", "", datetime(2018, 6, 24, 4, 21, 20)),
        ("5b2f1c40T.wav", "", datetime(2018, 6, 24, 4, 21, 20)),
        ("58684680.WAV", "", datetime(2017, 1, 1)),
        ("SITE_20230102T030405+0800.wav", "SITE", SECOND),
        ("SITE_20230102T030405-03:30.wav", "SITE", SECOND),
        ("SITE_20230102T030405Z.wav", "SITE", SECOND),
        ("20230102T030405+08.wav", "", SECOND),
        ("SITE_20240229_235959.wav", "SITE", datetime(2024, 2, 29, 23, 59, 59)),
        ("SITE_20230102_030405", "SITE", SECOND),
        # Two dates: the recording's stands last.
        ("20221231_20230102_030405.wav", "20221231", SECOND),
        (
            "Fôret \n\U0001f412\udce9_20230102_030405.wav",
            "Fôret \n\U0001f412\udce9",
            SECOND,
        ),
    ],
)
def test_known_names(name, site, date_time):
    assert parse(name) == RecorderName(site, date_time)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gibbon.wav",
        "20230102.WAV",  # a day without a time, also as hexadecimal (1987)
        "SITE_20230102.wav",
        "SITE_030405.wav",
        "SITE_20230229_030405.wav",
        "SITE_20230631_030405.wav",
        "SITE_20231301_030405.wav",
        "SITE_20230100_030405.wav",
        "SITE_20230102_240000.wav",
        "SITE_20230102_036005.wav",
        "SITE_20161231_235960.wav",
        "SITE_19691231_235959.wav",
        "SITE_21000101_000000.wav",
        "SITE_20230102_03040.wav",
        "SITE_20230102_0304056.wav",
        "SITE_20230102030405.wav",
        "SITE_120230102_030405.wav",
        "SITE20230102_030405.wav",
        "SITE_20230102_030405_12.wav",
        "SITE_20230102T030405+1500.wav",
        "SITE_20230102T030405+0860.wav",
        "SITE_20230102_030405 (1).wav",
        "SITE_２０２３0102_030405.wav",  # digits, but none of a recorder
        "0000003C.WAV",  # an AudioMoth whose clock was never set
        "5868467F.WAV",  # the second before the first AudioMoth
        "80000000.WAV",
        "5B2F1C4.WAV",
        "5B2F1C4G.WAV",
        "10160435.wav",  # a Batlogger's number
    ],
)
def test_other_names_tell_nothing(name):
    assert parse(name) is None


def test_only_the_last_part_of_a_path_is_read():
    path = Path("/card/OTHER_20200101_000000/SITE_20230102_030405.wav")
    assert parse(path) == RecorderName("SITE", SECOND)
    assert parse(str(path)) == parse(path)
    assert parse("SITE_20230102_030405/a.wav") is None


def test_every_second_of_a_year_comes_back(rng):
    start = int(datetime(2024, 1, 1).timestamp())
    for seconds in rng.integers(0, 366 * 86_400, 300):
        time = datetime.fromtimestamp(start + int(seconds))
        assert parse(f"A_{time:%Y%m%d_%H%M%S}.wav") == RecorderName("A", time)
