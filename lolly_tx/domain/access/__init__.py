"""Who somebody is, and what they may: passwords, lockouts, rates, destinations."""
