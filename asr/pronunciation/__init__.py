"""How words are pronounced: phones, pronunciation dictionaries, and a model that predicts phones from letters."""
