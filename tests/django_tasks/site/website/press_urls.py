"""The press has no pages over HTTP in the tests."""

urlpatterns: list[object] = []
