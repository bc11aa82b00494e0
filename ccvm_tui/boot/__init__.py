"""The start of guests: what to start, the image to start it from, and the progress of the start.

============  ======================================================================================
``specs``     settings and the host's environment → the parameters of a guest and of a session
``sharing``   the parts of the user's configuration that a guest receives
``images``    the image and the runtime that a guest needs, built if they are missing
``start``     the start as a series of events, which a user interface shows
``terminfo``  the terminfo entry of the host terminal
``timezone``  the host's time zone
============  ======================================================================================
"""
