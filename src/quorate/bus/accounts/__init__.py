"""How is a NATS server set up so that several tenants share it and none hears another?"""
