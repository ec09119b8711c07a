"""Who is asked and who answers: the audit draw, shortlists, the labelers that answer them; `steps` has the loop's."""
