"""How each failure of the table is brought about and mended, made of port calls only; a module for each family."""
