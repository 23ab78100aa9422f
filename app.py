"""`python app.py` is `modelsync serve`; `gunicorn app:app` serves with a WSGI server of your
choice.
"""

if __name__ == "__main__":
    import sys

    from modelsync.cli import main

    main(["serve", *sys.argv[1:]])
else:
    from modelsync.processes.wsgi import application

    app = application()
