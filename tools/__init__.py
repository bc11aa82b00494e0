"""Programs for the maintenance of the repository. The workflows in ``.github`` run them with nothing but Python."""
