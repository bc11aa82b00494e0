"""The dashboard: a Textual app, client of the keepers.

Widgets ask with messages that carry data; the screen and the app act. What needs no widget stands in modules of
its own beside them: `fleet` (which guests run), `attention`, `bindings`, `strokes`, `strips`, `copying`.
"""
