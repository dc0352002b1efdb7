"""What computes a saved model's answers: Keras, TensorFlow, LiteRT or a server.

Every engine takes waveforms at the model's rate and answers alike:

    engine.contract                      what the model promises
    engine.answers(waveforms)            {level: scores (batch, labels)} and, where
                                         asked for and known, what lies before them

`tfhier.runtime` cuts clips into windows and checks them; engines only compute. Each is
imported when a model of its kind is opened, so that a `.tflite` needs no TensorFlow.
"""
