"""Published weights: found, read and turned into taggers of ours."""
