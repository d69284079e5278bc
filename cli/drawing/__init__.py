"""Figures of one sample: picture, annotations drawn over it, and a panel of text below."""
