"""What serve.py and inference.py are made of; it travels in the model archive."""
