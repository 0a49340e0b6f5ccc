"""Where are answers kept that need not be asked for twice, and who may see them again?"""
