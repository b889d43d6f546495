"""Emitters of models that other libraries train: boosted trees of XGBoost, LightGBM and CatBoost. One library a
module, imported only where one of its objects is met.
"""
