"""Does the score tell the truth?"""
