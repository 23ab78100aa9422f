"""`python app.py` serves; `gunicorn app:app` serves with a WSGI server of your choice."""

if __name__ == "__main__":
    from modelsync.cli import main

    main(["serve"])
else:
    from modelsync.http.application import application

    app = application()
