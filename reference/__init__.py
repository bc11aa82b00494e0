"""The reference: manual pages, completion scripts and parts of the documentation, generated from the program.

Their sources are the parser of the command line, the table of settings and the table of actions. The command
``python -m reference`` updates the generated parts of the pages in ``docs``. The build of a wheel (``hatch_build.py``)
adds the manual pages and the completion scripts.
"""
