"""GitHub's workflows without GitHub: their files are linted, and their scripts run as they stand.

What GitHub itself does with a file (expressions, conditions, actions) is not imitated here.
"""
