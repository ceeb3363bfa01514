"""Forward proxies: the doors of their clients, and the ways to where these want to go."""
