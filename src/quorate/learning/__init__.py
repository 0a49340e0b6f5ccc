"""What can be learnt from the record, is it still true, and what in some numbers is out of the ordinary?

Models are data: coefficients, counts and trees in JSON, which are read and never run. Prediction needs no library;
training is sharper with the extra `ml` (scikit-learn), and says which it was.
"""
