"""Report pages: self-contained HTML with the numbers and plots of trained experiments."""
