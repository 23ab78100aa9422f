"""The set of docker-compose.yml as processes of this machine, where no Docker engine is:
`make compose-native`.
"""
