"""The review page: people listen to events and say which are right.

server.serve(session)               on this machine, verdicts kept at once
folder.write(session, Path("out"))  to be opened without a server, verdicts exported
"""
