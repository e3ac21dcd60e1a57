"""Parts of the serving benchmark: a scripted upstream, the targets it compares, a load client and a report."""
