"""What all that lies on a Redis server has in common: names of keys, scripts, clients, errors."""
