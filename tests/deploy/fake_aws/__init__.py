"""An Amazon Web Services of our own, for tests and rehearsals: moto's, with Elastic Beanstalk's operations grafted on.

`docs/reference/aws-behaviour.md` says of each behaviour whether it is documented, observed or assumed.
"""
