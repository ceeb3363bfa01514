"""Forward proxies: who may use one, and where its clients go."""
