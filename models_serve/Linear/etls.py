"""A linear regression on whatever data a `PUT` sends: `fit` is all that a trained model needs."""

from sklearn.linear_model import LinearRegression


class Linear:
    def fit(self, x, y, **params):
        return LinearRegression(**params).fit(x, y)
