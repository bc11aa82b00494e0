"""Attempts: private clones of a project, each in its own guest, on a branch of its own.

``spec`` has the parameters, ``names`` the rules for names, ``script`` the guest's half and the parsing of its output,
``plan`` the examination of a project before the start, ``install`` what the host's repository receives.
"""
