"""How are a command line and files of options read?"""
