"""Who says which targets a pool has: files, lists at a URL, the DNS, registries."""
