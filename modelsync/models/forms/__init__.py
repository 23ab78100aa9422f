"""Forms of estimators that compute without their library, and the compilers that make them."""
