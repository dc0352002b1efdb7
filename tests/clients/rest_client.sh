#!/bin/sh
# Tag a WAV file over REST, as any client of TensorFlow Serving does.
#
#     sh rest_client.sh http://HOST:PORT MODEL FILE.wav
#
# Prints the answer: {"predictions": [{LEVEL: [SCORES]}]}. Status 22 after an error.
set -eu

url=$1
model=$2
file=$3

# From standard input: a clip is longer than a command line may be.
{
    printf '{"signature_name": "wav_bytes", "instances": [{"b64": "'
    base64 < "$file" | tr -d '\n'
    printf '"}]}'
} | curl --silent --show-error --fail-with-body --data-binary @- \
    --write-out '\n' "$url/v1/models/$model:predict"
