"""Labels of published networks, whose weights hold no names."""

from tfhier import taxonomy
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

# Number of classes -> taxonomy in the published order, and the front ends that leave no
# doubt; none where the number does.
PUBLISHED = {
    527: ("audioset", ()),
    # Published as background, chimpanze, geunon, mandrille, redcap.
    5: ("primates", ("primates_16k", "primates_8k")),
}


def of(num_classes: int, *, heard: str) -> tuple[Taxonomy, str]:
    """Return the taxonomy of a published network, and a sentence on it.

    Args:
        num_classes: int > 0. Classes of the network.
        heard: str. Name of its front end, "" for one without.

    Returns:
        Tuple of the taxonomy, one with numbered labels where nothing is known, and the
        sentence.
    """
    name, frontends = PUBLISHED.get(num_classes, ("", ()))
    if name in taxonomy.names() and (not frontends or heard in frontends):
        return Taxonomy.read(name), f"The labels are those of the taxonomy {name}."
    digits = max(3, len(str(num_classes - 1)))
    labels = [f"class_{number:0{digits}d}" for number in range(num_classes)]
    return Taxonomy.flat(labels), (
        f"The labels are {labels[0]} to {labels[-1]}, as the weights hold no names. "
        "A taxonomy gives them."
    )


def check(given: Taxonomy, num_classes: int) -> None:
    """Raise an InputError if a taxonomy has more or fewer labels than classes."""
    size = given.sizes[given.fine]
    if size != num_classes:
        raise InputError(
            f"The taxonomy has {size} labels on level '{given.fine}', but the network "
            f"{num_classes} classes. Give one with a label for each, in their order."
        )
