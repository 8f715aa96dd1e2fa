"""The API as a whole: who is let in, how refusals are told, how often one may ask, its description and its page."""
