"""One file a competitor: ``solve(instance, threads)`` returns x (with the intercept last), or None for no answer.

``TOLERANCE`` says what was asked for; ``takes(instance)`` whether it can be asked at all. Whatever can be
prepared once for all data (imports, compilation) is done before the clock starts.
"""
