"""What evaluate.py consists of: figures, how sure the model may be, where it looked, what the champion said."""
