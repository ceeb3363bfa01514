"""A configuration put to the test without a network: `lolly simulate`.

The pool, its checks, its retries and its budget are the production objects, built the way
the service builds them; the clock, the targets and the clients are modelled.

May import: service, proxy, net, wire, config, domain. Used by: cli.
"""
