"""Report pages: self-contained HTML with numbers and plots of experiments."""
