//! Polynomial distortions of the plane: SIP (in pixels) and TPV (in intermediate world coordinates).

/// Σ c_pq u^p v^q on each axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sip {
    /// (p, q, coefficient) of the correction along x.
    pub(super) a: Vec<(i32, i32, f64)>,
    /// (p, q, coefficient) of the correction along y.
    pub(super) b: Vec<(i32, i32, f64)>,
}

/// Value and gradient of a plane vector function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped {
    pub(super) value: [f64; 2],
    /// `[[∂f0/∂x, ∂f0/∂y], [∂f1/∂x, ∂f1/∂y]]`.
    pub(super) gradient: [[f64; 2]; 2],
}

fn polynomial(terms: &[(i32, i32, f64)], u: f64, v: f64) -> (f64, f64, f64) {
    let (mut f, mut fu, mut fv) = (0.0, 0.0, 0.0);
    for &(p, q, c) in terms {
        let (up, vq) = (u.powi(p), v.powi(q));
        f += c * up * vq;
        if p > 0 {
            fu += c * f64::from(p) * u.powi(p - 1) * vq;
        }
        if q > 0 {
            fv += c * f64::from(q) * up * v.powi(q - 1);
        }
    }
    (f, fu, fv)
}

impl Sip {
    /// (u + A(u, v), v + B(u, v)), pixels from CRPIX.
    ///
    /// # Source
    /// Shupe et al. 2005, ASP Conf. 347, 491.
    pub(super) fn apply(&self, u: f64, v: f64) -> Mapped {
        let (a, au, av) = polynomial(&self.a, u, v);
        let (b, bu, bv) = polynomial(&self.b, u, v);
        Mapped { value: [u + a, v + b], gradient: [[1.0 + au, av], [bu, 1.0 + bv]] }
    }
}

/// The TPV distortion: polynomials in (ξ, η) and the radius, in degrees.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tpv {
    /// PV1_0 .. PV1_39.
    pub(super) pv1: [f64; 40],
    /// PV2_0 .. PV2_39, whose terms have ξ and η exchanged.
    pub(super) pv2: [f64; 40],
}

/// Powers (p of the first, q of the second coordinate, s of the radius) of PVi_k.
///
/// # Source
/// FITS registry of WCS conventions, TPV: terms by total order, the radius in odd orders.
const TPV_TERMS: [(i32, i32, i32); 40] = [
    (0, 0, 0),
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (2, 0, 0),
    (1, 1, 0),
    (0, 2, 0),
    (3, 0, 0),
    (2, 1, 0),
    (1, 2, 0),
    (0, 3, 0),
    (0, 0, 3),
    (4, 0, 0),
    (3, 1, 0),
    (2, 2, 0),
    (1, 3, 0),
    (0, 4, 0),
    (5, 0, 0),
    (4, 1, 0),
    (3, 2, 0),
    (2, 3, 0),
    (1, 4, 0),
    (0, 5, 0),
    (0, 0, 5),
    (6, 0, 0),
    (5, 1, 0),
    (4, 2, 0),
    (3, 3, 0),
    (2, 4, 0),
    (1, 5, 0),
    (0, 6, 0),
    (7, 0, 0),
    (6, 1, 0),
    (5, 2, 0),
    (4, 3, 0),
    (3, 4, 0),
    (2, 5, 0),
    (1, 6, 0),
    (0, 7, 0),
    (0, 0, 7),
];

fn tpv_axis(pv: &[f64; 40], x: f64, y: f64) -> (f64, f64, f64) {
    let r = x.hypot(y);
    let (mut f, mut fx, mut fy) = (0.0, 0.0, 0.0);
    for (&c, &(p, q, s)) in pv.iter().zip(&TPV_TERMS) {
        if c == 0.0 {
            continue;
        }
        if s > 0 {
            f += c * r.powi(s);
            if r > 0.0 {
                let slope = c * f64::from(s) * r.powi(s - 2);
                fx += slope * x;
                fy += slope * y;
            }
        } else {
            let (t, tx, ty) = polynomial(&[(p, q, c)], x, y);
            f += t;
            fx += tx;
            fy += ty;
        }
    }
    (f, fx, fy)
}

impl Tpv {
    /// Distorted (ξ', η') of (ξ, η), all in degrees.
    pub(super) fn apply(&self, xi: f64, eta: f64) -> Mapped {
        let (f, fx, fy) = tpv_axis(&self.pv1, xi, eta);
        let (g, gy, gx) = tpv_axis(&self.pv2, eta, xi);
        Mapped { value: [f, g], gradient: [[fx, fy], [gx, gy]] }
    }
}
