package io.github.streaminfer.scorer;

import java.util.HashMap;
import java.util.Map;

/**
 * The model of a bundle, loaded and proven once for all scorers of a JVM (more exactly: of a class loader) that have a
 * bundle of the same digest, and freed with the last of them.
 */
final class SharedModel {
    private static final Map<String, SharedModel> BY_DIGEST = new HashMap<>();

    private final String digest;
    private final OnnxModel model;
    private final Inference inference;
    private int users;

    private SharedModel(String digest, OnnxModel model, Inference inference) {
        this.digest = digest;
        this.model = model;
        this.inference = inference;
    }

    /**
     * The model of a bundle, to be {@link #release}d as often as it was acquired.
     *
     * @throws BundleException it cannot be used; the message names the bundle
     */
    static SharedModel acquire(Bundle bundle) {
        synchronized (BY_DIGEST) {
            SharedModel known = BY_DIGEST.get(bundle.digest);
            if (known == null) {
                known = open(bundle);
                BY_DIGEST.put(bundle.digest, known);
            }
            known.users++;
            return known;
        }
    }

    /** Models that are loaded at the moment. */
    static int loaded() {
        synchronized (BY_DIGEST) {
            return BY_DIGEST.size();
        }
    }

    private static SharedModel open(Bundle bundle) {
        OnnxModel model = null;
        try {
            model = OnnxModel.open(bundle);
            Inference inference = new Inference(model, bundle);
            GoldenProof.require(bundle, inference);
            return new SharedModel(bundle.digest, model, inference);
        } catch (BundleException refusal) {
            if (model != null) {
                model.close();
            }
            throw new BundleException(bundle.source + ": " + refusal.getMessage(), refusal);
        }
    }

    Inference inference() {
        return inference;
    }

    /** Gives the model back, once the calls of its user have ended. The last one frees it. */
    void release() {
        synchronized (BY_DIGEST) {
            users--;
            if (users == 0) {
                BY_DIGEST.remove(digest);
                model.close();
            }
        }
    }
}
