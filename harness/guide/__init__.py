"""The guide as data: claims, editions, texts."""
