"""Did the margin model say the truth? Statistics of past forecasts, and the walk through history that makes them.

Pure: no Django, no clock, no database; files are read by the path a caller names. The command `manage.py backtest`
is the only face.
"""
