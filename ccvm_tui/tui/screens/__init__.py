"""The screens of the dashboard. Dialogs, which cover a screen, have a package of their own."""
