"""What computes a saved model's answers: Keras, TensorFlow, LiteRT or a server.

Every engine takes waveforms at the model's rate and answers alike:

    engine.contract                      what the model promises
    engine.min_samples                   fewest samples of a waveform
    engine.cuts_windows                  whether it cuts the contract's windows itself
    engine.answers(waveforms, only_scores=False)
                                         {level: scores (batch, labels)} and, where
                                         asked for and known, what lies before them

`tfhier.runtime` cuts clips into windows and checks them; engines only compute. Each is
imported when a model of its kind is opened, so that a `.tflite` needs no TensorFlow.
"""
