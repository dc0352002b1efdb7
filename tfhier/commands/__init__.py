"""What each command of `tfhier` takes and does: `HELP`, `add(parser)`, `run(args)`."""
