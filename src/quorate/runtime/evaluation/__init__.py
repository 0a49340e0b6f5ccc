"""How are cases gone through, each as a recorded run?"""
