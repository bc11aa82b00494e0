"""Logins that never enter a guest: the keeper puts credentials into requests in place of placeholders.

==============  ====================================================================================
``sentinels``   placeholders, and the entries with the credential for each
``judge``       pure decisions about a request: which credential goes in, and what is refused
``tokens``      pure functions for bodies of OAuth requests and responses
``scrub``       the removal of credentials from responses, while they are streamed
``authority``   a guest's certificate authority, in memory
``tls``         TLS with a program in the guest
``git``         logins for Git, of the user's credential helpers
``upstream``    TLS with a host
``host_file``   the user's credentials file: its lock, its reading, its replacement
``account``     a login by OAuth, of which the keepers are the only refreshers
``serve``       the requests of one connection
``broker``      the broker of one guest
==============  ====================================================================================
"""
