"""Questions and lists that stand above the main screen for a moment and return an answer."""
