"""Signatures of the user's SSH agent for programs in a guest.

===========  ================================================================
``wire``     the messages that guests may use, as pure functions
``purpose``  what a signature is for, as far as the signed data show it
``agent``    the filter between a guest and the agent
===========  ================================================================
"""
