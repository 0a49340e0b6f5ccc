"""How does a fixed procedure run as an agent: every step recorded, resumed, bounded and cancelled like any other?"""
