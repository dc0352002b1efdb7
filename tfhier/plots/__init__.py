"""Plots: pure functions from numbers to Matplotlib figures, in one style.

Conventions:

* Metrics and probabilities come in as shares in [0, 1] and are drawn in percent. None
  and NaN mean undefined: they are left out, or named where a label has nothing else.
* What a line or a dot stands for is also its `gid`: "runs", "median", "reference",
  "best".
"""
